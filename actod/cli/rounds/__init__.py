"""The rounds of `actod maintenance`: what is looked at each week, month and quarter."""
