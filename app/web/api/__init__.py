"""The REST routes: what is asked, and what is answered."""
