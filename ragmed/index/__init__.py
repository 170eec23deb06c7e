"""Passages and their vectors on disk, searchable by FAISS or torch, with a manifest that says what made them.

recipe.py     indexes/NAME/recipe.yaml -> IndexRecipe
build.py      recipe -> a folder: streamed, resumable after a kill, manifest last
store.py      folder -> Index: checked, searched, exact scores
search.py     query vectors -> rows with exact scores, whoever found the candidates
faiss_search.py, torch_search.py   the two that find candidates, on a CPU or on GPUs
devices.py    the one door to faiss; which of the two searches, and where
"""
