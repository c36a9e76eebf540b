"""The report: one case as a terminal screen, an HTML page, a notebook's output, or a form for other tools.

    sentences.py    what a case says, in words that the screen and the page share
    clean_text.py   model output is hostile: what is stripped, what is shown by name
    terminal.py     one screen; compared.py two cases on one, proposed.py fixes, doctor.py this machine
    html.py         one page that makes no request and runs no script; svg.py draws on it
    notebook.py     the same in a notebook; in_notebook.py hooks it in when there is one
    forms.py        by name: junit.py, sarif.py, github.py
    pytest_plugin.py   a mark that fails where a bumper is hit or could not see
    serve/          cases in a browser, to read
    publish.py      claims, manifest and page of a case, written

A case is the only input of this room. Three rules hold in every format: blind is never shown as clear, clear says
what it cannot see, and no text from a model or from training data can act on the reader's terminal or browser.
"""
