"""What holds for all tests."""

from hypothesis import settings

# How long a test takes is a matter of the machine; and the same tests pass or fail every time.
settings.register_profile("runwire", deadline=None, derandomize=True)
settings.load_profile("runwire")
