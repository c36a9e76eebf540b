"""Which training examples taught it? Attribution methods behind one interface; they propose, experiments decide."""
