"""Abaculus on the maintainer's side: compacts the sessions in a bucket and builds the site from them."""
