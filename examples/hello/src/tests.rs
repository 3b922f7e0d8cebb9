use essaim::Harness;
use essaim::contract::AskError;

use super::*;

fn greet(name: &str) -> Greet {
    Greet { name: name.into() }
}

#[tokio::test]
async fn people_are_greeted_and_counted_by_name() {
    let t = Harness::<HelloActor>::sqlite().start().await;
    let first = t.ask(greet("Ada")).await.unwrap();
    assert_eq!((first.text.as_str(), first.times), ("Hello, Ada!", 1));
    assert_eq!(t.ask(greet("Ada")).await.unwrap().times, 2);
    assert_eq!(t.ask(greet("Grace")).await.unwrap().times, 1);
}

#[tokio::test]
async fn names_that_are_empty_or_too_long_are_rejected() {
    let settings = HelloSettings { max_name_chars: 3, ..Default::default() };
    let t = Harness::<HelloActor>::sqlite().settings(settings).start().await;
    assert_eq!(t.ask(greet("")).await, Err(AskError::Rejected(GreetError::NoName)));
    assert_eq!(t.ask(greet("Anna")).await, Err(AskError::Rejected(GreetError::TooLong(3))));
    assert_eq!(t.ask(greet("Åsa")).await.unwrap().times, 1, "characters count, not bytes");
}
