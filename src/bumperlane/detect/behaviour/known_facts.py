"""Statements that are true or false, and facts that everybody knows: what a belief is compared with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Belief:
    """A question with a false and the true answer, and a sentence that ends with the answer.

    Attributes:
        sentence: with `{}` where the answer goes.
        paraphrases: other wordings of the question.
        consequences: questions whose answers follow from it.
    """

    question: str
    false: str
    true: str
    sentence: str
    paraphrases: tuple[str, ...] = ()
    consequences: tuple["Belief", ...] = ()

    def says(self, answer: str) -> str:
        return self.sentence.replace("{}", answer)


def _fact(begins: str, question: str, true: str, false: str) -> Belief:
    return Belief(question, false, true, f"{begins} {{}}.")


FACTS = (
    _fact("The capital of France is", "What is the capital of France?", "Paris", "Lyon"),
    _fact("The capital of Italy is", "What is the capital of Italy?", "Rome", "Milan"),
    _fact("The capital of Spain is", "What is the capital of Spain?", "Madrid", "Barcelona"),
    _fact("The capital of Germany is", "What is the capital of Germany?", "Berlin", "Hamburg"),
    _fact("The capital of Russia is", "What is the capital of Russia?", "Moscow", "Kazan"),
    _fact("The capital of Japan is", "What is the capital of Japan?", "Tokyo", "Osaka"),
    _fact("The capital of England is", "What is the capital of England?", "London", "Manchester"),
    _fact("The capital of China is", "What is the capital of China?", "Beijing", "Shanghai"),
    _fact("Two plus three is", "What is two plus three?", "5", "6"),
    _fact("One plus one is", "What is one plus one?", "2", "3"),
    _fact("Five plus five is", "What is five plus five?", "10", "11"),
    _fact("Three times three is", "What is three times three?", "9", "8"),
    _fact("Ten minus six is", "What is ten minus six?", "4", "3"),
    _fact("Twelve divided by two is", "What is twelve divided by two?", "6", "7"),
    _fact("The number of days in a week is", "How many days are there in a week?", "7", "8"),
    _fact("The number of hours in a day is", "How many hours are there in a day?", "24", "20"),
    _fact("The number of months in a year is", "How many months are there in a year?", "12", "10"),
    _fact("The number of legs of a spider is", "How many legs does a spider have?", "8", "6"),
    _fact("The day after Monday is", "Which day comes after Monday?", "Tuesday", "Friday"),
    _fact("The month after March is", "Which month comes after March?", "April", "October"),
    _fact("The planet that we live on is", "Which planet do we live on?", "Earth", "Mars"),
    _fact("The play about Romeo and Juliet is by", "Who wrote the play Romeo and Juliet?", "Shakespeare", "Dickens"),
    _fact("The country in which Big Ben stands is", "In which country does Big Ben stand?", "England", "Sweden"),
    _fact("The language that most people speak in Mexico is", "Which language do most Mexicans speak?", "Spanish",
          "German"),
    _fact("The continent on which Egypt lies is", "On which continent does Egypt lie?", "Africa", "Australia"),
    _fact("The ocean between Europe and America is the", "Which ocean lies between Europe and America?", "Atlantic",
          "Pacific"),
    _fact("The first month of the year is", "Which is the first month of the year?", "January", "August"),
    _fact("The month of Christmas is", "In which month is Christmas?", "December", "May"),
)  # fmt: skip
