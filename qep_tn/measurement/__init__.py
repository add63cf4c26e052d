"""Measurement: what is read off a device, shot by shot, instead of computed."""
