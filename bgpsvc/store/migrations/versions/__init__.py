"""One file for each version of the database. A file that was released is never changed."""
