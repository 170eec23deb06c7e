"""Two texts in, whether one holds the other out: in the same words, in n-grams of them, or in the same sense.

words.py         a text -> its words as they are compared
ngrams.py        questions and other texts to be found -> the texts that hold their n-grams
similarity.py    two texts -> how much of them is the same
paraphrases.py   questions -> those of other texts that ask the same, by the cosine of vectors
"""
