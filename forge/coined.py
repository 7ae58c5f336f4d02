"""Words and names that mean nothing, English and Vietnamese by their sound."""
# ruff: noqa: SIM905 - rows of syllables are easier to read than columns

import random

ONSETS = "b br c ch d f fl g gr h j k l m n p pl qu r s sh st t tr v w z".split()
RIMES = "a e i o u an en in on ar er or ia eo ay ell ick oon ist umb".split()
VIETNAMESE_ONSETS = "b c ch d đ g gi h kh l m n ng nh ph qu r s t th tr v x".split()
VIETNAMESE_RIMES = (
    "a à á ả ạ ai ài ao áo an án anh ành ang ăn ăng âm ân ây ấp ê ế em en ên ềnh i ì inh ình o ó òa oan ong ông ồng ơ "
    "ơn u ú ủ un ung uy ư ừ ường ước iên iệt yên ơi ới ôn ồn ôi uân uyên"
).split()


def coined_word(generator: random.Random) -> str:
    """A pronounceable word: lower case, capitalised or in capitals."""
    word = "".join(generator.choice(ONSETS) + generator.choice(RIMES) for _ in range(generator.randint(2, 3)))
    return generator.choice((word, word.capitalize(), word.upper()))


def coined_name(generator: random.Random) -> str:
    """A pronounceable name, capitalised."""
    return coined_word(generator).capitalize()


def vietnamese_name(generator: random.Random) -> str:
    """A name of one to three Vietnamese syllables."""
    syllables = (
        generator.choice(VIETNAMESE_ONSETS) + generator.choice(VIETNAMESE_RIMES)
        for _ in range(generator.choice((1, 2, 2, 2, 3)))
    )
    return " ".join(syllable.capitalize() for syllable in syllables)
