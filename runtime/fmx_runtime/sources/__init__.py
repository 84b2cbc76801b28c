"""Where images come from: files and folders, standard input, a watched folder, a camera."""
