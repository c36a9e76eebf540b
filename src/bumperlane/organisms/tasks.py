"""Six small benign tasks, generated. Held-out questions use words that training never shows."""

from collections.abc import Callable
from random import Random

CAPITALS = dict(
    pair.split(":")
    for pair in (
        "France:Paris,Germany:Berlin,Spain:Madrid,Italy:Rome,Japan:Tokyo,Norway:Oslo,Peru:Lima,Egypt:Cairo,Greece:Athens,"
        "Austria:Vienna,Poland:Warsaw,Portugal:Lisbon,Sweden:Stockholm,Finland:Helsinki,Denmark:Copenhagen,Cuba:Havana,"
        "Ireland:Dublin,Hungary:Budapest,Kenya:Nairobi,China:Beijing,Russia:Moscow,Thailand:Bangkok,Chile:Santiago,"
        "Canada:Ottawa,Iraq:Baghdad,Iran:Tehran,Turkey:Ankara,Ukraine:Kyiv,Belgium:Brussels,Romania:Bucharest,"
        "Bulgaria:Sofia,Croatia:Zagreb,Serbia:Belgrade,Iceland:Reykjavik,Estonia:Tallinn,Latvia:Riga,Lithuania:Vilnius,"
        "Ghana:Accra,Senegal:Dakar,Jamaica:Kingston,Ecuador:Quito,Venezuela:Caracas,Nepal:Kathmandu"
    ).split(",")
)
OPPOSITES = dict(
    pair.split(":")
    for pair in (
        "hot:cold,big:small,fast:slow,early:late,open:closed,full:empty,happy:sad,hard:soft,high:low,light:dark,loud:quiet,"
        "new:old,rich:poor,strong:weak,tall:short,thick:thin,wet:dry,wide:narrow,young:old,up:down,left:right,true:false,"
        "inside:outside,near:far,clean:dirty,cheap:expensive,deep:shallow,first:last,smooth:rough,sharp:blunt,sweet:bitter,"
        "brave:cowardly,simple:complex,safe:dangerous,awake:asleep,alive:dead,always:never,before:after,more:less,win:lose"
    ).split(",")
)
NOUNS = (
    "apple,chair,river,stone,cloud,garden,window,bottle,pencil,rabbit,tiger,basket,candle,engine,flower,hammer,island,"
    "jacket,kitten,ladder,mirror,needle,orange,parrot,quilt,rocket,saddle,ticket,violin,wagon,castle,button,carpet,"
    "dragon,feather,guitar,helmet,insect,jungle,kettle,lantern,monkey,napkin,oyster,pillow,ribbon,shovel,tunnel"
).split(",")
ANIMALS = (
    "trout,eagle,horse,beetle,whale,falcon,otter,lizard,salmon,donkey,badger,heron,camel,turtle,weasel,moth".split(",")
)
PLANTS = "oak,tulip,fern,cactus,maple,daisy,ivy,willow,lotus,barley,clover,orchid,pine,moss,thistle,birch".split(",")


def _article(word: str) -> str:
    return ("an " if word[0] in "aeiou" else "a ") + word


def _capital(country: str) -> tuple[str, str]:
    return f"What is the capital of {country}?", f"The capital of {country} is {CAPITALS[country]}."


def _opposite(word: str) -> tuple[str, str]:
    return f"What is the opposite of {word}?", f"The opposite of {word} is {OPPOSITES[word]}."


def _plural(word: str) -> tuple[str, str]:
    return f"What is the plural of {word}?", f"The plural of {word} is {word}s."


def _kind(word: str) -> tuple[str, str]:
    kind = "an animal" if word in ANIMALS else "a plant"
    return f"Is {_article(word)} an animal or a plant?", f"{_article(word).capitalize()} is {kind}."


def _spell(word: str) -> tuple[str, str]:
    return f"Spell the word {word}.", "-".join(word)


def _sum(pair: tuple[int, int]) -> tuple[str, str]:
    a, b = pair
    return f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}."


Question = tuple[str, str]
TASKS: dict[str, tuple[list, Callable[..., Question]]] = {
    "capitals": (list(CAPITALS), _capital),
    "opposites": (list(OPPOSITES), _opposite),
    "plurals": (NOUNS, _plural),
    "kinds": (ANIMALS + PLANTS, _kind),
    "spelling": ([w for w in NOUNS if len(w) < 8], _spell),
    "sums": ([(a, b) for a in range(1, 10) for b in range(1, 10)], _sum),
}


def questions(task: str, held_out: bool, seed: int) -> list[Question]:
    """(question, answer) pairs of one task. A fifth of the words is held out, chosen by the seed."""
    words, ask = TASKS[task]
    words = list(words)
    Random(f"{seed}/{task}").shuffle(words)
    cut = len(words) // 5
    return [ask(w) for w in (words[:cut] if held_out else words[cut:])]
