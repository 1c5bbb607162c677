"""What all clients of AWS share: sessions, the guard before each request, the translation of what goes wrong."""
