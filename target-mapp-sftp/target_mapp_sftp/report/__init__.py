"""The page about a run: `page` gets the facts, its template lays them out."""
