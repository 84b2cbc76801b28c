"""Small services that every other room of the runtime may use."""
