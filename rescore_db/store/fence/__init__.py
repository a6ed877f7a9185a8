"""Users' SQL, fenced: `readonly` runs it, `sqlite` and `postgresql` see that it only reads."""
