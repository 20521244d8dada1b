"""A Singer tap that reads whole audiences from the Lytics API."""
