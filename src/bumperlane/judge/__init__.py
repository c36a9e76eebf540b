"""Reading -> hit | clear | blind: intervals, conformal thresholds, error control over many looks, the ledger."""
