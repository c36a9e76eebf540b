"""The rules, grouped by what they ask. See `contract` for what each promises."""
