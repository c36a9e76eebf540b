"""The report: one case as a terminal screen, an HTML page, JUnit and SARIF.

    sentences.py    what a case says, in words that the screen and the page share
    clean_text.py   model output is hostile: what is stripped, what is shown by name
    terminal.py     one screen
    html.py         one page that makes no request and runs no script; svg.py draws on it
    junit.py, sarif.py   for build servers and code-review tools

A case is the only input of this room. Three rules hold in every format: blind is never shown as clear, clear says
what it cannot see, and no text from a model or from training data can act on the reader's terminal or browser.
"""
