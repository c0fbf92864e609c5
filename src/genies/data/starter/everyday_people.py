"""Everyday facts about people: words, tools, jobs, places. One fact per line: question | answer."""

from __future__ import annotations

PEOPLE: dict[str, str] = {
    "opposites": """
        What is the opposite of hot? | cold
        What is the opposite of big? | small
        What is the opposite of up? | down
        What is the opposite of fast? | slow
        What is the opposite of happy? | sad
        What is the opposite of day? | night
        What is the opposite of open? | closed
        What is the opposite of full? | empty
        What is the opposite of hard? | soft
        What is the opposite of wet? | dry
        What is the opposite of old? | young
        What is the opposite of left? | right
        What is the opposite of light? | dark
        What is the opposite of loud? | quiet
        What is the opposite of rich? | poor
        What is the opposite of strong? | weak
        What is the opposite of clean? | dirty
        What is the opposite of early? | late
        What is the opposite of near? | far
        What is the opposite of thick? | thin
        What is the opposite of high? | low
        What is the opposite of long? | short
        What is the opposite of true? | false
        What is the opposite of inside? | outside
        What is the opposite of begin? | end
        What is the opposite of buy? | sell
        What is the opposite of win? | lose
        What is the opposite of push? | pull
        What is the opposite of remember? | forget
        What is the opposite of laugh? | cry
        What is the opposite of black? | white
        What is the opposite of north? | south
        What is the opposite of east? | west
        What is the opposite of always? | never
        What is the opposite of before? | after
        What is the opposite of friend? | enemy
        What is the opposite of question? | answer
        What is the opposite of wide? | narrow
        What is the opposite of wild? | tame
        What is the opposite of cheap? | expensive
        What is the opposite of sharp? | blunt
        What is the opposite of love? | hate
    """,
    "tools": """
        What do you use to cut paper? | scissors
        What do you use to drive in a nail? | a hammer
        What do you use to tighten a screw? | a screwdriver
        What do you use to write on a blackboard? | chalk
        What do you use to eat soup? | a spoon
        What do you use to open a locked door? | a key
        What do you use to tell the time? | a clock
        What do you use to sweep the floor? | a broom
        What do you use to brush your teeth? | a toothbrush
        What do you use to stay dry in the rain? | an umbrella
        What do you use to dig a hole? | a shovel
        What do you use to saw wood? | a saw
        What do you use to measure your temperature? | a thermometer
        What do you use to see your own face? | a mirror
        What do you use to dry yourself after a bath? | a towel
        What do you use to look at the stars? | a telescope
        What do you use to look at tiny germs? | a microscope
        What do you use to find north? | a compass
        What do you use to take photographs? | a camera
        What do you use to sew a button on? | a needle
        What do you use to tidy your hair? | a comb
        What do you use to weigh flour? | scales
        What do you use to iron a shirt? | an iron
        What do you use to keep food cold? | a refrigerator
        What do you use to bake a cake? | an oven
        What do you use to boil water for tea? | a kettle
        What do you use to light a candle? | a match
        What do you use to catch fish? | a fishing rod
        What do you use to rest your head on in bed? | a pillow
        What do you use to rub out pencil marks? | an eraser
        What do you use to draw a straight line? | a ruler
        What do you use to pump air into a tyre? | a pump
        What do you use to water the garden? | a hose
        What do you use to chop down a tree? | an axe
        What do you use to climb onto a roof? | a ladder
        What do you use to hang clothes in a wardrobe? | a hanger
        What do you use to blow your nose? | a handkerchief
        What do you use to carry clothes on a journey? | a suitcase
    """,
    "jobs": """
        Who puts out fires? | a firefighter
        Who teaches children at school? | a teacher
        Who bakes bread for a living? | a baker
        Who flies an aeroplane? | a pilot
        Who looks after your teeth? | a dentist
        Who cuts hair for a living? | a hairdresser
        Who grows crops and keeps cows? | a farmer
        Who repairs cars? | a mechanic
        Who treats sick animals? | a vet
        Who brings letters to your house? | a postman
        Who fixes leaking pipes? | a plumber
        Who sells meat? | a butcher
        Who makes things out of wood? | a carpenter
        Who arrests thieves? | a police officer
        Who paints pictures? | an artist
        Who writes novels? | an author
        Who travels into space? | an astronaut
        Who designs houses? | an architect
        Who makes and mends clothes? | a tailor
        Who lends books to readers? | a librarian
        Who decides cases in court? | a judge
        Who sells medicines? | a pharmacist
        Who cooks in a restaurant? | a chef
        Who catches fish for a living? | a fisherman
        Who digs coal underground? | a miner
        Who sells flowers? | a florist
        Who plays parts in films? | an actor
        Who leads an orchestra? | a conductor
        Who takes photographs for a living? | a photographer
        Who repairs electric wiring? | an electrician
        Who lays bricks? | a bricklayer
        Who studies old bones and ruins? | an archaeologist
    """,
    "places": """
        Where do you borrow books? | in a library
        Where do planes take off? | at an airport
        Where do you watch films on a big screen? | in a cinema
        Where do doctors treat very sick people? | in a hospital
        Where do you keep money safe? | in a bank
        Where do trains stop? | at a station
        Where do you see lions in cages? | in a zoo
        Where do children learn to read? | at school
        Where do you go to swim in town? | in a swimming pool
        Where do ships tie up? | in a harbour
        Where do you pray on Sunday? | in a church
        Where do you post a parcel? | at a post office
        Where do babies sleep with bars around them? | in a cot
        Where do you park the car at home? | in a garage
        Where are old paintings shown to visitors? | in a museum
        Where do criminals serve their sentence? | in prison
        Where do you cook dinner at home? | in the kitchen
        Where do travellers pay to stay the night? | in a hotel
        Where do you fill up a car? | at a petrol station
        Where do football teams play? | in a stadium
        Where are cars built? | in a factory
        Where do cows eat grass? | in a meadow
        Where do many camels live? | in the desert
        Where do you eat a meal and pay the waiter? | in a restaurant
        Where do bees live? | in a hive
        Where do birds lay eggs? | in a nest
        Where do dead people lie buried? | in a cemetery
        Where do you take a shower at home? | in the bathroom
        Where do kings and queens live? | in a palace
        Where do students earn a degree? | at a university
    """,
}
