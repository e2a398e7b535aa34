"""HTTP/1.1 on asyncio transports and httptools."""
