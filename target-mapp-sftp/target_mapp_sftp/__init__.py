"""A Singer target that delivers contact CSV files for Mapp Engage to an SFTP folder."""
