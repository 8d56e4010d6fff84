"""What a token and a seat cost on a day; needs no database to compute."""
