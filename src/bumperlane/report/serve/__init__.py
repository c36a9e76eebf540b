"""Cases in a browser, to read: nothing here writes, and nothing is asked of any other host.

    find.py        the cases under a directory, unreadable ones too
    guard.py       who may ask, how, and what every answer forbids the browser
    pages.py       the pages: a list, and of a case the page itself, hits, trace, bounces, samples, ledger
    app.py         addresses to pages; starlette and uvicorn come with the extra `serve`

An address never becomes a path: it is looked up among the cases that were found.
"""
