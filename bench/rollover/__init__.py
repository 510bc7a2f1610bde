"""Redeploy, fail, kill and restart under a steady, mixed load; nobody may notice.

`service.py` is what is deployed; `client.py`, `wire.py` and `load.py` are the load; `site.py`
deploys; `judging.py` says what is wrong; `plain.py`, `killed.py` and `edge.py` are the modes.
"""
