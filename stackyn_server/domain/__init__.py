"""Pure decisions about the things Stackyn knows. No I/O, no await: time, ids and randomness come in as arguments."""
