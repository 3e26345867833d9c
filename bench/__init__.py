"""Measures Dovetail beside a bare echo server: rates and times as ratios, never as tests."""
