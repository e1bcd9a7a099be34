"""stub"""

import hashlib


class Policy:
    digest = hashlib.sha256(b"stub").hexdigest()

    @classmethod
    def compile(cls, masking):
        return cls()
