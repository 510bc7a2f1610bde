"""What `helvetia plugin new` writes: one plugin of each kind, as modules that are checked here.

`example` and `Example` become the name of the new plugin.
"""
