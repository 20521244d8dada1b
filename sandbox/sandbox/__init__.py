"""A local Lytics API and SFTP server with invented people."""
