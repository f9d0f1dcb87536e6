"""The detector in the service: follows the stored calls, publishes what it finds (:mod:`.area`)."""
