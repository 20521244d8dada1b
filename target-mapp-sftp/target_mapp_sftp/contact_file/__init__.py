"""The contact file Mapp reads: which columns, which values, which rows; no Singer SDK and no SSH in here."""
