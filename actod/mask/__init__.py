"""Removes personal data and secrets, failing closed. This is the map of the folder, along one message.

    engine.py        PolicyMasker, the port: Reading -> MaskedReading; counts, ids, topic
      policy.py      the configured policy, compiled, and its digest
      strict.py      profile strict: only what a schema names and types goes through
        vda5050.py     the fields of VDA 5050, 2.0 to 3.0      schema.py  those of an operator's own schema
        identifiers.py  which identifiers name nobody
      walk.py        the other profiles, one walk over the message: which hint reaches which leaf
        keys.py        what a key says about its value         vocabulary.py  the words, many languages
        neighbours.py  what the members beside and above say
        fields.py      does the value look like what its key says?
        leaf.py        one string to its end, through every layer
          normal.py       look-alikes to plain characters, positions kept
          encodings.py    base64, hex, gzip, percent, HTML, escapes, spelled digits: bounded
          assignments.py  key=value, YAML, XML, CSV inside text
          text.py         gates and detectors for plain text; what a weak finding is measured against
            gate.py              cheap questions before dear patterns
            contact.py financial.py national.py network.py location.py secrets.py   one family of detectors each
            person.py words.py   names without a language model
            context.py           a telling word beside a value
            checksums.py         check digits
        numbers.py   numbers, arrays of numbers, values cut in pieces
        verdicts.py  what the policy says about each finding, and what then stands there
      operators.py   mask, redact, hash, coarsen, drop, keep
      finding.py     what a detector reports, and the marks that masking leaves

A detector is a pattern with a bound on every repeat, a gate before it and a check behind it; how to add one stands in docs/masking.md.
Operators' own patterns run on RE2. Nothing here does I/O, but for the files of schemas, which policy.py reads once; nothing keeps a message.
"""
