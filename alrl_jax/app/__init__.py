"""The page of ``alrl app``: swaps in the browser, for who would rather look than read.

``desk`` does what the page asks for and knows nothing of browsers; ``layout`` and ``page`` are the
only modules that know Gradio; ``serving`` binds the page to an address.
"""
