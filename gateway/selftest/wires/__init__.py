"""Each API, read and written once more, in the plainest way: what its clients and servers make of bytes."""
