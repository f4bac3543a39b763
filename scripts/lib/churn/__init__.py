"""Clients ask without pause while everything in the repository changes; every answer is held against what was on disk.

`contents` makes models whose answers tell what was loaded, `disk` keeps account of what was whole on disk and when,
`changes` does what people do in a repository, `clients` ask in a process of their own, `verdict` says what is wrong.
"""
