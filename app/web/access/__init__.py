"""How somebody shows who it is, and what follows."""
