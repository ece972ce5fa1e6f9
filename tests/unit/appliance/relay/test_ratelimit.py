"""The token bucket."""

from appliance.relay.ratelimit import TokenBucket


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=1.0, burst=3, now=0.0)
    assert [bucket.allow(now=0.0) for _ in range(5)] == [True, True, True, False, False]
    assert [bucket.allow(now=1.0) for _ in range(2)] == [True, False]


def test_a_long_pause_saves_no_more_than_a_burst() -> None:
    bucket = TokenBucket(rate_per_s=1.0, burst=3, now=0.0)
    assert sum(bucket.allow(now=1000.0) for _ in range(10)) == 3
