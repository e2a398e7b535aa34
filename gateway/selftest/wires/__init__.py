"""Each API, read and written once more, in the plainest way: what a client or a provider makes of the bytes."""
