"""What a call does, written down: stand-ins, the tape they write, and what a function uses besides its arguments."""
