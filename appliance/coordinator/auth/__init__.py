"""auth: how a new node proves that it may join: with a pre-auth key, or by an admin's word."""
