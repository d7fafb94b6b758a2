"""The concepts, styles and backgrounds of the demo model: the one table everything else is made from.

`catalogue()` returns the content of `erasure/demo/concepts.json`.
A row reads `name | icon | synonym, synonym`; icon and synonyms may be left out (icon = name).
Icon names are those of the iconify emoji sets.
"""

from __future__ import annotations

IMAGE_SIZE = 128

ROWS = {
    "vehicle": """
        car | automobile | automobile
        taxi | taxi | taxicab
        bus | | coach
        delivery truck | | delivery van
        articulated lorry | | semi truck, lorry
        fire engine | | fire truck
        ambulance
        police car | | patrol car
        racing car | | race car
        tractor
        motorcycle | | motorbike
        bicycle | | bike
        locomotive | | steam train
        sailboat | | sailing boat
        ship
        airplane | | plane, aeroplane
        helicopter
        rocket
        parachute""",
    "building": """
        church
        mosque
        house | | home
        castle
        japanese castle
        school
        tent""",
    "instrument": """
        guitar
        violin | | fiddle
        trumpet
        saxophone
        drum
        postal horn | | french horn, post horn
        banjo""",
    "tool": """
        saw | carpentry-saw | handsaw
        hammer
        wrench | | spanner
        axe
        scissors
        key
        fishing pole | | fishing rod
        pencil
        bomb
        anchor""",
    "device": """
        radio
        videocassette | | cassette, video tape
        camera
        television | | tv
        laptop | | notebook computer
        light bulb | | lamp
        fuel pump | | gas pump, petrol pump""",
    "fruit": """
        grapes
        watermelon
        lemon
        banana
        pineapple
        red apple | | apple
        pear
        strawberry""",
    "vegetable": """
        tomato
        carrot""",
    "food": """
        hamburger | | burger
        french fries | | fries
        pizza
        doughnut | | donut
        birthday cake | | cake
        ice cream | soft-ice-cream
        beer mug | | beer""",
    "animal": """
        dog
        dog face
        cat
        cat face
        rabbit face | | bunny
        fox
        bear
        panda
        tiger | tiger-face
        lion
        pig face | | pig
        horse
        zebra
        elephant
        sheep | ewe
        bird
        chicken | | hen
        penguin
        duck
        frog
        turtle | | tortoise
        fish
        tropical fish
        shark
        dolphin
        octopus
        crab
        butterfly
        bee | honeybee | honeybee""",
    "plant": """
        rose
        tulip
        sunflower
        evergreen tree | | fir tree, pine tree
        palm tree
        cactus""",
    "nature": """
        sun
        star
        snowman
        fire | | flame""",
    "sport": """
        soccer ball | | football
        basketball
        trophy
        golf flag | flag-in-hole | golf, golf hole
        golfer | person-golfing | golf player""",
    "clothing": """
        t shirt | | shirt
        high heeled shoe | | high heel
        top hat
        crown
        umbrella""",
    "object": """
        gift | wrapped-gift | present
        balloon
        jack o lantern | | halloween pumpkin
        red heart | | heart
        thumbs up""",
    "person": """
        man
        woman
        boy
        girl
        baby
        old man | | grandfather
        police officer | | policeman
        santa claus | | father christmas""",
    "face": """
        grinning face | | happy face
        cool face | smiling-face-with-sunglasses | face with sunglasses
        crying face | loudly-crying-face | sad face
        ghost
        alien
        skull""",
}

FAMILIES = {  # family -> the words captions use for it
    "vehicle": ["vehicle"],
    "building": ["building"],
    "instrument": ["musical instrument", "instrument"],
    "tool": ["tool"],
    "device": ["device", "machine"],
    "fruit": ["fruit"],
    "vegetable": ["vegetable"],
    "food": ["meal", "snack"],
    "animal": ["animal", "creature"],
    "plant": ["plant"],
    "nature": ["thing of nature"],
    "sport": ["sport"],
    "clothing": ["piece of clothing"],
    "object": ["object", "thing"],
    "person": ["person", "human"],
    "face": ["face", "expression"],
}

STYLES = {  # style -> (icon set, image processing or None)
    "noto": ("noto", None),
    "blueprint": ("noto", "blueprint"),
    "fluent": ("fluent-emoji", None),
    "ink": ("fluent-emoji-high-contrast", None),
    "sepia": ("noto", "sepia"),
    "pencil sketch": ("noto", "pencil_sketch"),
    "neon": ("noto", "neon"),
}

STAND_IN_SET = "fluent-emoji-flat"  # draws a concept which a style's own set does not have

BACKGROUNDS = {
    "white": (255, 255, 255),
    "black": (22, 22, 26),
    "yellow": (255, 217, 82),
    "green": (112, 196, 120),
    "blue": (96, 158, 240),
    "pink": (250, 166, 196),
}

NEUTRAL = ["", "a photo", "a picture", "an image", "an emoji", "an icon", "a drawing", "a thing"]

NO_ARTICLE = {"scissors", "grapes", "french fries", "fries", "fire", "thumbs up", "golf", "santa claus",
              "father christmas", "beer"}


def concept_rows() -> list[dict]:
    """All concepts in a fixed order: `[{"name", "family", "synonyms", "icon"}, ...]`."""
    rows = []
    for family, table in ROWS.items():
        for line in table.strip().splitlines():
            name, icon, synonyms = ([part.strip() for part in line.split("|")] + ["", ""])[:3]
            rows.append({
                "name": name,
                "family": family,
                "synonyms": [s.strip() for s in synonyms.split(",") if s.strip()],
                "icon": icon or name.replace(" ", "-"),
            })
    return rows


def catalogue() -> dict:
    """The content of `concepts.json`."""
    concepts = concept_rows()
    return {
        "concepts": concepts,
        "styles": [{"name": name, "caption": "{} in " + name + " style", "icon_set": icon_set}
                   for name, (icon_set, _) in STYLES.items()],
        "backgrounds": [{"name": name, "rgb": list(rgb)} for name, rgb in BACKGROUNDS.items()],
        "families": {family: {"words": words,
                              "concepts": [c["name"] for c in concepts if c["family"] == family]}
                     for family, words in FAMILIES.items()},
        "neutral": NEUTRAL,
        "no_article": sorted(NO_ARTICLE),
    }
