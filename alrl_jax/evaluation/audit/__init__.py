"""Audits of de-identified folders: what was found before and after, and who can be found again."""
