"""Where images come from: files, standard input, a watched folder, a camera."""
