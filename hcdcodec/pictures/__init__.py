"""A picture and its ordinary files; nothing here knows the format of the small file."""
