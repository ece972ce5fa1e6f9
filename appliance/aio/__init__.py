"""aio: small asyncio parts that have never heard of VPNs.

In: byte streams, handlers, values. Out: HTTP/1.1 and HTTP/2 over any byte stream, a Noise
channel as a byte stream, the latest value of a thing, pauses between retries.
"""
