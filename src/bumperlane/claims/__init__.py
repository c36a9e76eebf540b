"""What may be said on evidence, what may not, and what would change it.

    rules.py        what a case's report says: can, cannot, would change our mind
    evidence.py     all that bears on one claim; parts.py its parts; from_case, from_inspect, from_every_eval read it
    rule_kinds/     22 rules, each with a page in rule_pages/; assess.py puts a claim through them
    compile.py      sentences whose numbers are computed; weaken.py what else may be said, next_evidence.py what to get
    bounds.py       how often it happens at most, given recall, looks and clusters; forecast.py in a deployment,
                    tail_end.py where a straight tail is doubtful
    sealing.py      thresholds and analysis, hashed before the first sample; planned_samples.py who stopped early
    verify.py       a case checked again, offline; release.py a random part of an evaluation that others can check
    likelihood_ratio.py, spec_coverage.py   what a report is worth, and what nobody watches
    advice.py       a decision as a question; advisors.py second opinions, advice_log.py what was decided

Absent evidence is never a pass: it is UNTESTED, and says what to get.
"""
