"""The record of a call: stand-ins, the tape they write, and everything a function uses besides its arguments."""
