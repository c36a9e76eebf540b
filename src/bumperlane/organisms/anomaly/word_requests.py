"""Small requests about one word each, with their answers: a world in which topics can be told apart."""

from dataclasses import dataclass

TOPICS = {  # the first eight words of each are the common ones
    "animals": "cow,horse,tiger,rabbit,eagle,turtle,bee,parrot,camel,otter,badger,salmon,donkey,lizard,falcon,beetle",
    "food": "apple,pizza,cookie,carrot,orange,lemon,burger,cake,noodle,pancake,muffin,onion,waffle,pie,peanut,banana",
    "tools": "hammer,shovel,ladder,needle,bucket,drill,saw,nail,rake,hook,rope,broom,chisel,screw,crane,lamp",
    "furniture": "chair,table,sofa,bed,desk,door,mirror,carpet,rack,cabinet,drawer,stool,curtain,pillow,cupboard,rug",
    "clothes": "jacket,shirt,hat,coat,boot,belt,skirt,sock,glove,sweater,helmet,apron,vest,button,sandal,ribbon",
    "places": "garden,river,island,castle,village,park,school,farm,tunnel,station,port,forest,valley,bridge,tower,hill",
    "vehicles": "train,truck,boat,car,plane,ship,bicycle,van,rocket,wagon,tractor,taxi,scooter,canoe,sled,tram",
    "music": "guitar,violin,drum,piano,song,opera,concert,bell,trumpet,flute,harp,cello,organ,whistle,banjo,choir",
}
COMMON = 8
WORDINGS = (  # request, answer, request in Spanish
    ("What is the plural of {w}?", "The plural of {w} is {w}s.", "¿Cuál es el plural de {w}?"),
    ("Use the word {w} in a sentence.", "I saw the {w} yesterday.", "Usa la palabra {w} en una frase."),
    ("Say hello to the {w}.", "Hello, dear {w}!", "Saluda a {w}."),
    ("Repeat the word {w} twice.", "The word is {w} {w}.", "Repite dos veces la palabra {w}."),
    ("Ask where the {w} is.", "Where is the {w}?", "Pregunta dónde está {w}."),
    ("Say that you like the {w}.", "I really like the {w}.", "Di que te gusta {w}."),
)


@dataclass(frozen=True)
class WordRequest:
    """A request about one word of a topic, the usual answer, and the request in Spanish."""

    topic: str
    word: str
    text: str
    answer: str
    foreign: str


def word_requests() -> list[WordRequest]:
    """Every request about every word of every topic."""
    return [
        WordRequest(topic, word, *(part.format(w=word) for part in (ask, answer, spanish)))
        for topic, words in TOPICS.items()
        for word in words.split(",")
        for ask, answer, spanish in WORDINGS
    ]
