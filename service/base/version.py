"""Which version this is: of the wheel, of the contract, of `wharfinger --version`."""

VERSION = "0.1.0"
