"""Names and bytes on disk; nothing here knows what a picture is."""
